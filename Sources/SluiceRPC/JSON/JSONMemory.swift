import CJansson
import Glibc

/// Memory for the values of parsed texts.
///
/// Nearly all of them live for one message: they are cut off one block, one after the other, and when the last of them is given
/// back the block is empty again. What does not fit comes from the system. This is a tenth of the time of a short request; it
/// is process-wide and for one thread, and so only for the sidecar's own process.
enum JSONMemory {
    private static let size = 64 * 1024
    /// More than any alignment that the library's structures need.
    private static let alignment = 16

    nonisolated(unsafe) private static var block: UnsafeMutableRawPointer?
    nonisolated(unsafe) private static var used = 0
    nonisolated(unsafe) private static var live = 0

    /// To be called before the library is used for the first time.
    static func install() {
        guard block == nil else { return }
        block = .allocate(byteCount: size, alignment: alignment)
        json_set_alloc_funcs({ JSONMemory.allocate($0) }, { JSONMemory.free($0) })
    }

    private static func allocate(_ count: Int) -> UnsafeMutableRawPointer? {
        guard let block, count <= size - used else { return malloc(count) }
        let place = block + used
        // Never beyond the block: its size is a multiple of the alignment.
        used += (count + alignment - 1) & ~(alignment - 1)
        live += 1
        return place
    }

    private static func free(_ place: UnsafeMutableRawPointer?) {
        guard let place else { return }
        guard let block, place >= block, place < block + size else { return Glibc.free(place) }
        live -= 1
        if live == 0 { used = 0 }
    }
}
