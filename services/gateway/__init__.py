"""The gateway: gRPC in, the store behind it. It checks, resolves, records and reports; it never computes.

    key -> identity (who asks, may they)
    request -> checks (every bad field) -> references (what the names stand for) -> resolve (every default filled in)
            -> store -> render -> response

`server` wires it, one servicer per service translates, `status` turns an error into google.rpc.Status.
"""
