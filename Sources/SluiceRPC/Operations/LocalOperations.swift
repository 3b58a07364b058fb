import Sluice

extension OperationTable {
    private static let access = Parameter("options", .access, "Who may connect, and whether the name is abstract (without a file).")

    /// What local sockets and local servers have beside what all sockets and servers have.
    static let localOperations: [Operation] = [
        Operation(
            "localSocket.connectToServer", "Connects to a local server.",
            [
                .handle,
                Parameter("name", .string, """
                    A bare name, looked for in the temporary folder, or an absolute path; left out, the one that was set.
                    """, .optional),
                Parameter("openMode", .openMode, "For reading, for writing or both.", .text("ReadWrite")),
            ], errors: [.hostNotFound, .connectionRefused, .socketAccess, .socketTimeout, .operation]
        ) { call throws(Failure) in
            let socket = try call.localSocket()
            let name = try call.isGiven("name") ? try call.text("name") : socket.serverName
            let mode: OpenMode = try call.flags("openMode")
            try call.session.service.rules.checkLocal(name, isAbstract: socket.socketOptions.contains(.abstractNamespace), connects: true)
            try call.entry().forgetLastConnection()
            try call.run { () throws(SocketError) in try socket.connectToServer(name, openMode: mode) }
            return .null
        },
        Operation("localSocket.disconnectFromServer", "As socket.disconnectFromHost.", [.handle]) { call throws(Failure) in
            try call.localSocket().disconnectFromServer()
            return .null
        },
        Operation("localSocket.serverName", "The server's name as given.", [.handle], .text("Empty when not connected.")) { call throws(Failure) in
            .text(try call.localSocket().serverName)
        },
        Operation(
            "localSocket.setServerName", "Sets the name of the server.", [.handle, Parameter("name", .string, "A bare name or an absolute path.")],
            errors: [.operation]
        ) { call throws(Failure) in
            let socket = try call.localSocket()
            let name = try call.text("name")
            try call.run { () throws(SocketError) in try socket.setServerName(name) }
            return .null
        },
        Operation(
            "localSocket.fullServerName", "The path that the name stands for.", [.handle], .text("Empty when not connected.")
        ) { call throws(Failure) in
            .text(try call.localSocket().fullServerName)
        },
        Operation("localSocket.socketOptions", "The options.", [.handle], .names(LocalServerAccess.allNames)) { call throws(Failure) in
            .names(try call.localSocket().socketOptions.names)
        },
        Operation(
            "localSocket.setSocketOptions", "Sets the options; of a client only AbstractNamespace matters.", [.handle, access], errors: [.operation]
        ) { call throws(Failure) in
            let socket = try call.localSocket()
            let options: LocalServerAccess = try call.flags("options")
            // A name that the socket is to connect to by itself means something else then.
            if case .text(let name)? = try? socket.property("serverName"), !name.isEmpty {
                try call.session.service.rules.checkLocal(name, isAbstract: options.contains(.abstractNamespace), connects: true)
            }
            try call.run { () throws(SocketError) in try socket.setSocketOptions(options) }
            return .null
        },
        Operation(
            "localSocket.peerCredentials", "The process at the other end, as the system vouches for it.", [.handle],
            .object([("pid", .integer("Process.")), ("uid", .integer("User.")), ("gid", .integer("Group."))])
        ) { call throws(Failure) in
            let socket = try call.localSocket()
            let peer = try call.run { () throws(SocketError) in try socket.peerCredentials() }
            return .object([("pid", .integer(Int(peer.pid))), ("uid", .integer(Int(peer.uid))), ("gid", .integer(Int(peer.gid)))])
        },
        Operation(
            "localSocket.sendDescriptor",
            """
                Gives the peer a descriptor: a duplicate travels with the next byte that is written after this. It is the one that came with the \
                request (SCM_RIGHTS), one that server.incomingConnection has told, or over standard input one that the sidecar has inherited.
                """,
            [
                .handle,
                Parameter("descriptor", .integer(nil), "Its number. Of a descriptor that came with the request any small number will do."),
            ], errors: [.operation, .unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.localSocket()
            try call.withDescriptor(copies: true) { descriptor throws(SocketError) in try socket.sendDescriptor(descriptor) }
            return .null
        },
        Operation(
            "localSocket.receiveDescriptor",
            """
                Takes the descriptor that has waited longest of those that the peer has sent: it comes with the answer (SCM_RIGHTS). Over a \
                Unix socket only.
                """,
            [.handle], .integerOrNull("Its number in the sidecar, which means nothing to the client; null, and no descriptor, when none waits."),
            errors: [.unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.localSocket()
            try call.checkCanHandOver()
            let descriptor = try call.run { () throws(SocketError) in try socket.receiveDescriptor() }
            return descriptor < 0 ? .null : call.handOver(descriptor)
        },

        Operation(
            "localServer.create", "Makes a local server that does not listen yet.",
            [serverProperties], .handle, errors: [.socketResource]
        ) { call throws(Failure) in
            try Properties.create(LocalServer(loop: call.session.service.loop), call)
        },
        Operation(
            "localServer.listen", "Listens under a name, or with a descriptor as server.setDescriptor does: one of the two is given.",
            [
                .handle,
                Parameter("name", .string, "A bare name, for a file in the temporary folder, or an absolute path.", .optional),
                Parameter("descriptor", .integer(nil), "A descriptor that is bound and listening already.", .optional),
            ], errors: [.addressInUse, .hostNotFound, .socketAccess, .operation]
        ) { call throws(Failure) in
            let server = try call.localServer()
            let hasName = try call.isGiven("name")
            guard hasName != (try call.isGiven("descriptor")) else {
                throw .invalidParameter("name", "localServer.listen takes either \"name\" (a string) or \"descriptor\" (an integer)")
            }
            guard hasName else {
                try call.withDescriptor { descriptor throws(SocketError) in try server.listen(descriptor: descriptor) }
                return .null
            }
            let name = try call.text("name")
            try call.session.service.rules.checkLocal(name, isAbstract: server.socketOptions.contains(.abstractNamespace), connects: false)
            try call.run { () throws(SocketError) in try server.listen(name) }
            return .null
        },
        Operation(
            "localServer.removeServer", "Removes the file that a dead server left behind; never a live one's, and nothing that is no socket.",
            [Parameter("name", .string, "A bare name or an absolute path.")], .boolean
        ) { call throws(Failure) in
            let name = try call.text("name")
            try call.session.service.rules.checkLocal(name, isAbstract: false, connects: false)
            return .boolean(LocalServer.removeServer(name))
        },
        Operation(
            "localServer.serverName", "The name as given to listen.", [.handle], .text("Empty when it does not listen.")
        ) { call throws(Failure) in
            .text(try call.localServer().serverName)
        },
        Operation(
            "localServer.fullServerName", "The path that the name stands for.", [.handle], .text("Empty when it does not listen.")
        ) { call throws(Failure) in
            .text(try call.localServer().fullServerName)
        },
        Operation("localServer.socketOptions", "The options.", [.handle], .names(LocalServerAccess.allNames)) { call throws(Failure) in
            .names(try call.localServer().socketOptions.names)
        },
        Operation(
            "localServer.setSocketOptions", "Sets the options, for the next listen: the access flags become the mode of the socket's file.",
            [.handle, access], errors: [.operation]
        ) { call throws(Failure) in
            let server = try call.localServer()
            let options: LocalServerAccess = try call.flags("options")
            try call.run { () throws(SocketError) in try server.setSocketOptions(options) }
            return .null
        },
    ]
}
