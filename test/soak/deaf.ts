/**
 * Opens all streams of an agent and reads nothing from them. Ends when its standard input ends.
 *
 * usage: deaf.ts FOLDER NAME HOST     FOLDER: the folder that contains the management identity
 */
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";

import { readManagementIdentity } from "../../client/cluster/channel.ts";
import { AgentServiceClient } from "../../proto/gen/khw/agent/v1/agent.ts";

const [folder = "", name = "", host = ""] = process.argv.slice(2);
const { ca, certificate, key } = await readManagementIdentity({
  ca: join(folder, "ca.pem"),
  certificate: join(folder, "admin.pem"),
  key: join(folder, "admin-key.pem"),
});
const client = new AgentServiceClient(`${host}:7443`, credentials.createSsl(ca, key, certificate), {
  "grpc.ssl_target_name_override": name,
  "grpc.default_authority": name,
  // The smallest window ensures that little is buffered between the agent and a client that does not read.
  "grpc-node.flow_control_window": 65_535,
});
const log = { component: "khw-agent", lines: 0, sinceUnixMillis: 0, follow: true };
// A stream that nobody reads is paused, so unsent data stays in the agent.
const streams = [
  client.watchStatus({}),
  client.listEvents({ sinceUnixMillis: 0, limit: 0, follow: true }),
  client.streamLogs(log),
];
for (const stream of streams) stream.once("error", (error) => process.stderr.write(`deaf: ${error.message}\n`));
process.stdin.resume().once("end", () => process.exit(0));
