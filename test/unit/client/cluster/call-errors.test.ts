import { Metadata, status } from "@grpc/grpc-js";
import t from "tap";
import { nodeError } from "../../../../client/cluster/call-errors.ts";

const address = { name: "controller-0", host: "10.240.0.10", port: 7443 };

t.test("if a connection fails without a reason, the error says that no reason was given", (t) => {
  for (const details of ["No connection established. Last error: undefined", "undefined", "", "Error: null"]) {
    const error = Object.assign(new Error(details), { code: status.UNAVAILABLE, details, metadata: new Metadata() });
    const { code, message } = nodeError(address, error);
    t.equal(code, "UNREACHABLE");
    t.equal(message, "no connection to the agent at 10.240.0.10:7443: no reason given");
  }
  t.end();
});
