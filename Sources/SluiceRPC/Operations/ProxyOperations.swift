import Sluice

extension OperationTable {
    private static let proxy = Parameter(
        "proxy", .object, """
            {type: Default, None, Socks5 or Http; of the latter two host, port, and perhaps user, password, hostNameLookup (true: the \
            proxy looks names up)}.
            """)
    private static let shown: StaticString = "As in socket.setProxy, without the password."

    /// Ways to a host by way of others.
    static let proxyOperations: [Operation] = [
        Operation("socket.proxy", "The proxy of the next connection.", [.handle], .anything(shown)) { call throws(Failure) in
            Reply(try call.socket().proxy)
        },
        Operation(
            "socket.setProxy", "Sets the proxy of the next connection. Default is the application's (proxy.setApplication).", [.handle, proxy],
            errors: [.unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let proxy = try call.proxy()
            try call.run { () throws(SocketError) in try socket.setProxy(proxy) }
            return .null
        },
        Operation(
            "socket.authenticateProxy",
            """
                Answers the event socket.proxyAuthenticationRequired: the attempt goes on with these credentials; without a user it is given up. \
                A socket waits for this if its handle.subscribe has named that event.
                """,
            [
                .handle, Parameter("user", .string, "The user.", .text("")), Parameter("password", .string, "The password.", .text("")),
            ], errors: [.operation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let user = try call.text("user")
            let password = try call.text("password")
            try call.run { () throws(SocketError) in try socket.authenticateProxy(user: user, password: password) }
            return .null
        },
        Operation("server.proxy", "The proxy of the next listen.", [.handle], .anything(shown)) { call throws(Failure) in
            Reply(try call.server().proxy)
        },
        Operation(
            "server.setProxy", "Sets the proxy that the server listens by from the next listen on: SOCKS5.", [.handle, proxy],
            errors: [.unsupportedSocketOperation, .operation]
        ) { call throws(Failure) in
            let server = try call.server()
            let proxy = try call.proxy()
            try call.run { () throws(SocketError) in try server.setProxy(proxy) }
            return .null
        },
        Operation("proxy.application", "The proxy of all sockets and servers of this client whose own is Default.", [], .anything(shown)) { call throws(Failure) in
            Reply(call.session.applicationProxy ?? Proxy.application)
        },
        Operation(
            "proxy.setApplication",
            """
                Sets the proxy of all sockets and servers of this client whose own is Default; Default here is what the system's settings say \
                (proxy.forQuery).
                """,
            [proxy]
        ) { call throws(Failure) in
            let proxy = try call.proxy()
            try call.run { () throws(SocketError) in try proxy.check() }
            call.session.applicationProxy = proxy
            return .null
        },
        Operation(
            "proxy.forQuery", "What the system's settings (ALL_PROXY, HTTP_PROXY, HTTPS_PROXY, NO_PROXY) say about a host.",
            [Parameter("host", .string, "A name or an address."), Parameter("port", .integer(nil), "1 to 65535.")],
            .anything("A list of proxies, the best first; None is straight there.")
        ) { call throws(Failure) in
            let host = try call.text("host")
            let port = try call.integer("port")
            let proxies = try call.run { () throws(SocketError) in try Proxy.forQuery(host: host, port: port) }
            return .list(proxies.map { Reply($0) })
        },
    ]
}

extension Call {
    /// The parameter `proxy`. It is somewhere to connect to, and so the rules are asked.
    fileprivate func proxy() throws(Failure) -> Proxy {
        let members = Members(try value("proxy"), parameter: "proxy")
        try members.check(["type", "host", "port", "user", "password", "hostNameLookup"])
        guard let type = try members.named("type", as: Proxy.Kind.self) else {
            throw members.wrong("type", "one of \(Proxy.Kind.allCases.map(\.name).joined(separator: ", "))")
        }
        let proxy = Proxy(
            type: type, host: try members.text("host") ?? "", port: try members.integer("port") ?? 0, user: try members.text("user") ?? "",
            password: try members.text("password") ?? "", hostNameLookup: try members.boolean("hostNameLookup") ?? true)
        if type == .socks5 || type == .http { try session.service.rules.checkConnect(proxy.host, port: proxy.port) }
        return proxy
    }
}

extension Reply {
    /// A proxy as it is shown: without its password.
    init(_ proxy: Proxy) {
        var members: [(name: String, value: Reply)] = [("type", .text(proxy.type.name))]
        if proxy.type == .socks5 || proxy.type == .http {
            members += [("host", .text(proxy.host)), ("port", .integer(proxy.port))]
            if !proxy.user.isEmpty { members.append(("user", .text(proxy.user))) }
            members.append(("hostNameLookup", .boolean(proxy.hostNameLookup)))
        }
        self = .object(members)
    }
}
