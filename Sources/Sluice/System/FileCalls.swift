import CLinux
import Glibc

/// Which file a name stood for at a moment.
struct FileIdentity: Equatable {
    let device: UInt
    let inode: UInt
    /// The time of the last change: it tells a new file that got the old one's number from the old one.
    let changed: Int
    let isSocket: Bool

    func isSameFile(as other: FileIdentity) -> Bool {
        device == other.device && inode == other.inode
    }
}

// Calls on the files of local sockets. Names are relative to a directory that is held open, so that they stay short and mean the
// same file from one call to the next. Results are 0 or minus errno.
extension System {
    static func openDirectory(_ path: String, in base: Int32 = AT_FDCWD) throws(SystemError) -> Descriptor {
        try owned(clinux_open_reference(base, path, true), "openat")
    }

    /// A reference through which the file can be named, whatever it is.
    static func openReference(_ path: String) throws(SystemError) -> Descriptor {
        try owned(clinux_open_reference(AT_FDCWD, path, false), "openat")
    }

    /// The path of what a descriptor refers to, short however long its own is.
    static func pathOfDescriptor(_ descriptor: Int32) -> String { "/proc/self/fd/\(descriptor)" }

    static func makePrivateDirectory(_ directory: Int32, _ name: String) -> Int {
        outcome(mkdirat(directory, name, S_IRWXU))
    }

    static func removeDirectory(_ directory: Int32, _ name: String) {
        _ = unlinkat(directory, name, AT_REMOVEDIR)
    }

    static func removeFile(_ directory: Int32, _ name: String) -> Int {
        outcome(unlinkat(directory, name, 0))
    }

    static func setMode(_ directory: Int32, _ name: String, _ mode: mode_t) -> Int {
        outcome(fchmodat(directory, name, mode, 0))
    }

    /// A second name for a file; -EEXIST when there is something of that name.
    static func link(_ from: Int32, _ name: String, to directory: Int32, _ newName: String) -> Int {
        outcome(linkat(from, name, directory, newName, 0))
    }

    /// Swaps two names in one step.
    static func exchange(_ directory: Int32, _ name: String, with other: Int32, _ otherName: String) -> Int {
        outcome(clinux_rename_exchange(directory, name, other, otherName))
    }

    /// What a name stands for, itself if it is a symbolic link; nil when nothing does (or nothing that can be seen).
    static func identity(_ directory: Int32, _ name: String) -> FileIdentity? {
        var status = stat()
        guard fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        return FileIdentity(device: UInt(status.st_dev), inode: UInt(status.st_ino),
                            changed: status.st_ctim.tv_sec &* 1_000_000_000 &+ status.st_ctim.tv_nsec,
                            isSocket: status.st_mode & S_IFMT == S_IFSOCK)
    }
}
