import t from "tap";
import { deprecations, refusedArgument } from "../../../../agent/trial/output.ts";

// The lines were printed by kube-apiserver 1.20.2 and etcd 3.4.23.
t.test("an unknown flag is found in the output above the usage text", (t) => {
  const flag = { kind: "flag", flag: "foo", reason: "unknown flag" };
  t.strictSame(refusedArgument(["Error: unknown flag: --foo", "Usage:", "  kube-apiserver [flags]"]), flag);
  t.strictSame(refusedArgument(["flag provided but not defined: -foo", "Usage:"]), flag);
  t.equal(refusedArgument(["panic: out of memory"]), undefined);
  t.end();
});

t.test("an unknown or locked feature gate is reported with the flag that sets it", (t) => {
  const prefix = 'Error: invalid argument "Foo=true,Bar=true" for "--feature-gates" flag:';
  t.strictSame(refusedArgument([`${prefix} unrecognized feature gate: Foo`]), {
    kind: "gate",
    flag: "feature-gates",
    gate: "Foo",
    reason: "unknown feature gate",
  });
  t.match(refusedArgument([`${prefix} cannot set feature gate Bar to false, feature is locked to true`]), {
    kind: "gate",
    gate: "Bar",
    reason: "cannot be set to false, feature is locked to true",
  });
  t.end();
});

t.test("a value that cannot be parsed is reported with its flag", (t) => {
  const shorthand = 'Error: invalid argument "abc" for "-v, --v" flag: strconv.ParseInt: parsing "abc": invalid syntax';
  t.match(refusedArgument([shorthand]), { kind: "flag", flag: "v", reason: /^invalid value: strconv/ });
  t.match(refusedArgument(['invalid value "abc" for flag -heartbeat-interval: parse error']), {
    flag: "heartbeat-interval",
    reason: "invalid value: parse error",
  });
  t.end();
});

t.test("deprecated flags and feature gates are reported once, without the prefix of the log", (t) => {
  const gate = "Setting GA feature gate CSIDriverRegistry=true. It will be removed in a future release.";
  const flag = "Flag --insecure-port has been deprecated, This flag has no effect now and will be removed in v1.24.";
  const logged = `W1128 11:26:10.293272   29716 feature_gate.go:235] ${gate}`;
  t.strictSame(deprecations([logged, logged, flag, "Kubernetes v1.20.2"]), [gate, flag]);
  t.end();
});
