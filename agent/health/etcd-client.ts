import { etcdClientFiles } from "../../proto/etcd.ts";
import { credentialFile } from "../paths.ts";

/** The contents of the files with which the agent calls etcd. A missing file is undefined. */
export interface EtcdClientFiles {
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/**
 * Reads the files with which the agent calls etcd, from the files of the API server. If the machine has all files of
 * etcd's own CA, these are used, otherwise those of the cluster's CA.
 */
export async function readEtcdClientFiles(
  read: (path: string) => Promise<Buffer | undefined>,
): Promise<EtcdClientFiles> {
  const [own, shared] = await Promise.all(
    [true, false].map(async (hasOwnCa) => {
      const { ca, certificate, key } = etcdClientFiles(hasOwnCa);
      const [caPem, cert, keyPem] = await Promise.all([ca, certificate, key].map((name) => read(credentialFile(name))));
      return { ca: caPem, cert, key: keyPem };
    }),
  );
  const isComplete = own !== undefined && Object.values(own).every((content) => content !== undefined);
  return (isComplete ? own : shared) ?? { ca: undefined, cert: undefined, key: undefined };
}
