import t from "tap";
import { controllerSteps } from "../../../agent/steps.ts";
import { largestDownload } from "../../../agent/steps/largest-download.ts";
import { applyAll, etcdRelease, labDesiredWithEtcd, labMachine } from "../../fixtures/machine.ts";

t.test("every download is limited to the maximum size for its program", async (t) => {
  const machine = labMachine();
  etcdRelease(machine, "v3.4.99");
  const asked = new Map<string, number>();
  const { downloads } = machine;
  const os = {
    ...machine,
    downloads: {
      ...downloads,
      file: async (request: Parameters<typeof downloads.file>[0]) => {
        asked.set(request.path.slice(request.path.lastIndexOf("/") + 1), request.mostBytes);
        await downloads.file(request);
      },
    },
  };
  await applyAll(controllerSteps(labDesiredWithEtcd(), { drained: false }), os);
  const { etcd, ...programs } = largestDownload;
  t.strictSame(Object.fromEntries(asked), { ...programs, "etcd-v3.4.99-linux-amd64.tar.gz": etcd });
});
