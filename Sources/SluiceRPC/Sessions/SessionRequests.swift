import Sluice

/// From a message to the operations it asks for: JSON-RPC 2.0.
extension Session {
    func handle(_ item: Framer.Item) {
        switch item {
        case .message(let text): handleMessage(text)
        case .tooLarge: refuse(.tooLarge("The message", limit: service.limits.maxMessage, option: "--max-message"))
        case .badHeader(let line): refuse(.invalidRequest("\"\(line)\" is no header; messages here begin with Content-Length: and a number"))
        case .cutOff: refuse(.parseError("the input ended inside a message"))
        }
    }

    private func handleMessage(_ text: UnsafeRawBufferPointer) {
        guard !text.isEmpty else {
            refuse(.parseError("the message is empty"))
            return
        }
        let message: JSON
        do throws(JSON.Fault) {
            message = try JSON(parsing: text, limits: service.limits.json)
        } catch {
            refuse(.parseError(error.reason))
            return
        }
        guard message.kind == .array else {
            handleRequest(message, batch: nil)
            return
        }
        guard message.count > 0 else {
            refuse(.invalidRequest("a batch must not be empty"))
            return
        }
        guard message.count <= Limits.maxBatch else {
            refuse(.limitReached("A batch of \(message.count) requests is above the limit of \(Limits.maxBatch)."))
            return
        }
        handleBatch(message)
    }

    private func handleBatch(_ requests: JSON) {
        let batch = Batch()
        // One answer more is expected until all requests are begun, so that the batch cannot be complete before.
        batch.expectAnswer()
        for index in 0..<requests.count {
            guard phase == .serving || phase == .draining, let request = requests[index] else { break }
            handleRequest(request, batch: batch)
        }
        completeBatch(batch)
    }

    private func handleRequest(_ request: JSON, batch: Batch?) {
        noteRequest()
        guard request.kind == .object else {
            return fault("a request is an object", id: .null, batch)
        }
        var caller = Caller(id: nil, batch: batch)
        var id: RequestID?
        if let value = request["id"] {
            id = RequestID(value)
            guard id != nil else { return fault("an id is a string, a number or null", id: .null, batch) }
        }
        guard request["jsonrpc"]?.withString({ $0.elementsEqual("2.0".utf8) }) == true else {
            return fault("\"jsonrpc\" must be \"2.0\"", id: id ?? .null, batch)
        }
        guard let method = request["method"], method.kind == .string else {
            return fault("\"method\" must be a string", id: id ?? .null, batch)
        }
        let parameters = request["params"]
        if let kind = parameters?.kind, kind != .object, kind != .array {
            return fault("\"params\" must be an object or an array", id: id ?? .null, batch)
        }
        if let id {
            caller = Caller(id: id, batch: batch)
            batch?.expectAnswer()
        }
        call(method, parameters, caller)
    }

    private func call(_ method: JSON, _ parameters: JSON?, _ caller: Caller) {
        guard let operation = method.withString({ OperationTable.shared.find($0) }) ?? nil else {
            return callOutsideTheTable(method.string ?? "", parameters, caller)
        }
        let waitingDescriptors = receivedDescriptors.count
        do throws(Failure) {
            let arguments = try Arguments(parameters, of: operation)
            let reply = try operation.handler(Call(session: self, operation: operation, arguments: arguments, caller: caller))
            if case .deferred = reply { return }
            answer(caller, .success(reply))
            attachIfPrepared()
        } catch {
            // What came with a request that failed before it took its descriptor must not pass for the next one's.
            if operation.meansReceivedDescriptor(parameters), waitingDescriptors > 0, receivedDescriptors.count == waitingDescriptors {
                service.close(receivedDescriptors.removeFirst())
            }
            answer(caller, .failure(error))
        }
    }

    /// `$/…` belongs to the protocol rather than to the operations; what is not known of it may be ignored.
    private func callOutsideTheTable(_ name: String, _ parameters: JSON?, _ caller: Caller) {
        guard name == "$/cancelRequest" else {
            answer(caller, .failure(.methodNotFound(name)))
            return
        }
        guard let value = parameters?["id"] ?? parameters?[0], let id = RequestID(value) else {
            answer(caller, .failure(.invalidParameter("id", "$/cancelRequest takes the id of the request to cancel")))
            return
        }
        cancel(id)
        answer(caller, .success(.null))
    }

    /// A request that is none: always answered, since it cannot be told whether it was meant as a notification.
    private func fault(_ reason: String, id: RequestID, _ batch: Batch?) {
        batch?.expectAnswer()
        answer(Caller(id: id, batch: batch), .failure(.invalidRequest(reason)))
    }
}
