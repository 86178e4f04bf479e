import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";

/** On a busy machine, each run of the client takes several seconds. */
t.setTimeout(110_000);

const root = mkdtempSync(join(tmpdir(), "khw-output-"));
t.teardown(() => rmSync(root, { recursive: true }));
const client = [join(import.meta.dirname, "../../client/main.ts")];

interface Ended {
  readonly status: number | null;
  readonly err: string;
}

/** Runs the client with the given file descriptor as its standard output. */
function run(argv: readonly string[], stdout: number | "ignore"): Ended {
  const { status, stderr } = spawnSync(process.execPath, [...client, ...argv], {
    cwd: root,
    env: { PATH: process.env["PATH"] },
    stdio: ["ignore", stdout, "pipe"],
    encoding: "utf8",
  });
  return { status, err: stderr };
}

const printing = [
  ["--version"],
  ["--help"],
  ["version", "-o", "json"],
  ["config", "default"],
  ["config", "reference"],
  ["completion", "bash"],
];

t.test("a full disk ends every command with exit code 74 and a message", async (t) => {
  const full = openSync("/dev/full", "w");
  t.teardown(() => closeSync(full));
  for (const argv of printing) {
    const { status, err } = run(argv, full);
    t.equal(status, 74, argv.join(" "));
    t.match(err, /^standard output cannot be written: ENOSPC: no space left on device.*\nhint: /, argv.join(" "));
  }
});

t.test("a disk that fills up during output ends the command with exit code 74", async (t) => {
  const path = join(root, "limited");
  const [program, main] = [process.execPath, client[0] ?? ""];
  // A limit on file size simulates a full disk. The kernel writes as much as fits. The next write fails.
  const script = `ulimit -f 1; trap '' XFSZ; exec "$0" "$@" >"${path}"`;
  const { status, stderr } = spawnSync("bash", ["-c", script, program, main, "config", "default"], {
    cwd: root,
    encoding: "utf8",
  });
  t.equal(readFileSync(path).length, 1024, "the output is written until the disk is full");
  t.equal(status, 74, stderr);
  t.match(stderr, /^standard output cannot be written: EFBIG/);
});

t.test("a reader that closes the pipe ends the command silently, like SIGPIPE", async (t) => {
  const child = spawn(process.execPath, [...client, "config", "reference"], { cwd: root });
  child.stdout.destroy();
  let err = "";
  child.stderr.on("data", (text: Buffer) => (err += text.toString()));
  const [code]: unknown[] = await once(child, "close");
  t.equal(code, 141);
  t.equal(err, "");
});

t.test("a command that cannot write to standard error exits with code 74, whether it succeeds or fails", async (t) => {
  const full = openSync("/dev/full", "w");
  t.teardown(() => closeSync(full));
  const { status } = spawnSync(process.execPath, [...client, "nosuch"], {
    cwd: root,
    stdio: ["ignore", "ignore", full],
  });
  t.equal(status, 74);
});

t.test("a closed standard output ends the command with exit code 74", async (t) => {
  const script = join(import.meta.dirname, "../../packaging/khw-client.sh");
  for (const shell of ["sh", "bash"]) {
    const { status, stderr } = spawnSync(shell, ["-c", `exec ${shell} "$0" --version >&-`, script], {
      encoding: "utf8",
    });
    t.equal(status, 74, shell);
    t.equal(stderr, "khw-client: standard output is closed\n", shell);
  }
});
