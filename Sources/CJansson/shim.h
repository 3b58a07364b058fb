/* libjansson as a Swift module. */
#include <jansson.h>
