import { etcdClientFiles, type EtcdFiles } from "../../proto/etcd.ts";
import { credentialFile } from "../paths.ts";

/**
 * The names and contents of the TLS files that the agent uses to call etcd. The content of a missing file is undefined.
 */
export interface EtcdClientFiles {
  readonly names: EtcdFiles;
  readonly ca: Buffer | undefined;
  readonly cert: Buffer | undefined;
  readonly key: Buffer | undefined;
}

/**
 * Reads the API server's TLS files, which the agent also uses to call etcd. Reads the files for etcd's own CA if the
 * machine has all of these files. Otherwise, reads the files for the cluster's CA.
 */
export async function readEtcdClientFiles(
  read: (path: string) => Promise<Buffer | undefined>,
): Promise<EtcdClientFiles> {
  const readAll = async (names: EtcdFiles): Promise<EtcdClientFiles> => {
    const paths = [names.ca, names.certificate, names.key].map((name) => credentialFile(name));
    const [ca, cert, key] = await Promise.all(paths.map((path) => read(path)));
    return { names, ca, cert, key };
  };
  const [own, shared] = await Promise.all([readAll(etcdClientFiles(true)), readAll(etcdClientFiles(false))]);
  const isComplete = own.ca !== undefined && own.cert !== undefined && own.key !== undefined;
  return isComplete ? own : shared;
}
