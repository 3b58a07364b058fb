# Sluice: `make demo` shows the main job, `make test` runs every test; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -ec

VERSION   := 0.1.0
SOVERSION := 0

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
DOCDIR     ?= $(PREFIX)/share/doc/sluice

SWIFT   ?= swift
PYTHON  ?= python3
INSTALL ?= install

BUILD   := .build/release
LIBRARY := $(BUILD)/libsluice.so
SIDECAR := $(BUILD)/sluiced
LOGS    := .build/logs

# The version in the library's file name; the soname carries the first number alone.
REALNAME := libsluice.so.$(VERSION)
SONAME   := libsluice.so.$(SOVERSION)

# $(call fill,VARIABLE): fills a template in; a folder below the prefix is written as ${VARIABLE}/…, so that whoever reads the file can move the tree.
below = $(patsubst $(PREFIX)/%,$${$(1)}/%,$(2))
fill = sed -e 's|@VERSION@|$(VERSION)|g' -e 's|@SONAME@|$(SONAME)|g' -e 's|@REALNAME@|$(REALNAME)|g' -e 's|@PREFIX@|$(PREFIX)|g' \
           -e 's|@LIBDIR@|$(call below,$(1),$(LIBDIR))|g' -e 's|@INCLUDEDIR@|$(call below,$(1),$(INCLUDEDIR))|g' \
           -e 's|@BINDIR@|$(call below,$(1),$(BINDIR))|g'

.PHONY: help setup build demo test soak bench install uninstall clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo        set up, build, and run the main job on real input'
	@echo 'make test        set up, build, and run every test'
	@echo 'make build       $(LIBRARY) and $(SIDECAR)'
	@echo 'make soak        the long runs: many connections, many cycles, many bytes'
	@echo 'make bench       the measurements of Benchmarks/'
	@echo 'make install     library, header, pkg-config and CMake files, sidecar, manual pages (PREFIX=$(PREFIX), DESTDIR=$(DESTDIR))'
	@echo 'make uninstall   takes away what install laid down'
	@echo 'make clean       removes everything built'

setup:
	@.ci/setup

# SwiftPM would take a CC for its own clang. A warning in our own sources fails the build. Programs ask for the library by its soname, in the build tree too.
build: setup
	@mkdir -p $(LOGS)
	@env -u CC $(SWIFT) build -c release $(SWIFTFLAGS) 2>&1 | tee $(LOGS)/build.log
	@if grep -E '/(Sources|examples)/.*: warning:' $(LOGS)/build.log; then \
	    echo 'build: warnings count as errors' >&2; exit 1; fi
	@ln -sf libsluice.so $(BUILD)/$(SONAME)

demo: build
	@CC="$$(.ci/cc)" $(PYTHON) examples/demo/demo.py $(DEMOFLAGS)

test: build
	@CC="$$(.ci/cc)" SWIFT=$(SWIFT) PYTHON=$(PYTHON) Tests/run-all.sh $(STEPS)

soak: build
	@CC="$$(.ci/cc)" PYTHON=$(PYTHON) Tests/soak/run.sh

bench: build
	@CC="$$(.ci/cc)" PYTHON=$(PYTHON) Benchmarks/run.sh

# Built only if it is not there, so that `sudo make install` after `make build` needs no compiler.
$(LIBRARY) $(SIDECAR) &:
	@$(MAKE) build

install: | $(LIBRARY) $(SIDECAR)
	$(INSTALL) -d "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(LIBDIR)/pkgconfig" "$(DESTDIR)$(LIBDIR)/cmake/sluice" \
	    "$(DESTDIR)$(INCLUDEDIR)" "$(DESTDIR)$(MANDIR)/man1" "$(DESTDIR)$(MANDIR)/man3" "$(DESTDIR)$(DOCDIR)"
	bindings/c/install-stripped $(LIBRARY) "$(DESTDIR)$(LIBDIR)/$(REALNAME)" 644
	ln -sf $(REALNAME) "$(DESTDIR)$(LIBDIR)/$(SONAME)"
	ln -sf $(SONAME) "$(DESTDIR)$(LIBDIR)/libsluice.so"
	bindings/c/install-stripped $(SIDECAR) "$(DESTDIR)$(BINDIR)/sluiced" 755
	$(INSTALL) -m 644 include/sluice.h "$(DESTDIR)$(INCLUDEDIR)/sluice.h"
	$(call fill,prefix) bindings/c/sluice.pc.in > "$(DESTDIR)$(LIBDIR)/pkgconfig/sluice.pc"
	$(call fill,sluice_PREFIX) bindings/c/sluiceConfig.cmake.in > "$(DESTDIR)$(LIBDIR)/cmake/sluice/sluiceConfig.cmake"
	$(call fill,sluice_PREFIX) bindings/c/sluiceConfigVersion.cmake.in > "$(DESTDIR)$(LIBDIR)/cmake/sluice/sluiceConfigVersion.cmake"
	$(INSTALL) -m 644 docs/man/sluiced.1 "$(DESTDIR)$(MANDIR)/man1/sluiced.1"
	$(INSTALL) -m 644 docs/man/sluice.3 "$(DESTDIR)$(MANDIR)/man3/sluice.3"
	$(INSTALL) -m 644 LICENSE "$(DESTDIR)$(DOCDIR)/LICENSE"

uninstall:
	rm -f "$(DESTDIR)$(LIBDIR)/$(REALNAME)" "$(DESTDIR)$(LIBDIR)/$(SONAME)" "$(DESTDIR)$(LIBDIR)/libsluice.so" \
	    "$(DESTDIR)$(BINDIR)/sluiced" "$(DESTDIR)$(INCLUDEDIR)/sluice.h" "$(DESTDIR)$(LIBDIR)/pkgconfig/sluice.pc" \
	    "$(DESTDIR)$(LIBDIR)/cmake/sluice/sluiceConfig.cmake" "$(DESTDIR)$(LIBDIR)/cmake/sluice/sluiceConfigVersion.cmake" \
	    "$(DESTDIR)$(MANDIR)/man1/sluiced.1" "$(DESTDIR)$(MANDIR)/man3/sluice.3" "$(DESTDIR)$(DOCDIR)/LICENSE"
	-@rmdir "$(DESTDIR)$(LIBDIR)/cmake/sluice" "$(DESTDIR)$(DOCDIR)" 2>/dev/null || true

clean:
	rm -rf .build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
