/** The facts that determine the outcome of an upgrade. */
export interface UpgradeView {
  readonly fromVersion: string;
  readonly toVersion: string;
  readonly noRollback: boolean;
  /** The version that dpkg lists as fully installed. */
  readonly installed: string | undefined;
  /** apt is installing the new package. */
  readonly installing: boolean;
  /** dpkg is installing the previous package, or has failed to install it, and systemd will retry soon. */
  readonly rollingBack: boolean;
  /** The previous package has been installed again. */
  readonly rolledBack: boolean;
  /** This process started after the upgrade had begun, so it is running the installed version. */
  readonly restarted: boolean;
  /** This process has answered a call from an administrator. */
  readonly answered: boolean;
}

export type Verdict =
  | { readonly kind: "wait" }
  | { readonly kind: "done" }
  | { readonly kind: "failed" | "rolled-back"; readonly why: string };

const wait: Verdict = { kind: "wait" };

/** Decides whether an upgrade has ended, and how. Always waits while apt is running. */
export function decide(view: UpgradeView): Verdict {
  const { fromVersion, toVersion, installed, noRollback, restarted, answered } = view;
  if (view.installing || view.rollingBack) return wait;
  if (view.rolledBack)
    return { kind: "rolled-back", why: `khw-agent ${toVersion} did not answer an administrator in time` };
  if (installed === fromVersion) return { kind: "failed", why: "apt did not install the package" };
  if (installed === toVersion) {
    if (restarted) return answered ? { kind: "done" } : wait;
    // The old version is still running. Without a rollback, nothing else would end this upgrade.
    return noRollback ? { kind: "failed", why: "the package did not restart the agent" } : wait;
  }
  if (installed !== undefined) return { kind: "failed", why: `khw-agent ${installed} was installed in the meantime` };
  return noRollback ? { kind: "failed", why: "dpkg did not complete the installation" } : wait;
}
