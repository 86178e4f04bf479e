import { components } from "../../proto/components.ts";
import type { ApplyContext } from "../../proto/step.ts";
import type { Os } from "../os/os.ts";

/** The components that connect to the API server of their own node. */
const clients = components.filter((component) => component !== "kube-apiserver");

/**
 * Stops the controller manager and the scheduler before the API server starts or restarts. Their own steps start them
 * again as soon as the API server is ready. There are two reasons:
 *
 * - From Kubernetes 1.21 on, a stopping API server waits for clients to end their watches. If these two clients keep
 *   running, the stop takes 15 s, and systemd has to kill the API server.
 * - When the components change to an older release, no client may be newer than its API server.
 */
export async function stopClients({ systemd }: Os, { signal }: ApplyContext): Promise<void> {
  for (const client of clients) {
    const { activeState } = await systemd.unit(`${client}.service`);
    if (activeState !== "inactive" && activeState !== "failed") await systemd.stop(`${client}.service`, signal);
  }
}
