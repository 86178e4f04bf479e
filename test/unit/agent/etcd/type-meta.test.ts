import t from "tap";
import { readTypeMeta } from "../../../../agent/etcd/type-meta.ts";

/**
 * A CronJob named "a" in protobuf format, written by hand according to `message Unknown` and `message TypeMeta`. It
 * starts with the prefix "k8s\0". Field 1 contains the API version and the kind in 25 bytes. Field 2 contains the
 * object. Fields 3 and 4 are empty.
 */
const cronJob = Buffer.from(
  "6b387300" +
    "0a19" +
    "0a0e62617463682f7632616c70686131" + // batch/v2alpha1
    "120743726f6e4a6f62" + // CronJob
    "1205" +
    "0a030a0161" +
    "1a00" +
    "2200",
  "hex",
);

const read = (value: string): ReturnType<typeof readTypeMeta> => readTypeMeta(Buffer.from(value));

t.test("the API version and kind are read from a protobuf value", (t) => {
  t.strictSame(readTypeMeta(cronJob), { apiVersion: "batch/v2alpha1", kind: "CronJob" });
  t.strictSame(readTypeMeta(cronJob.subarray(0, 31)), { apiVersion: "batch/v2alpha1", kind: "CronJob" });
  const unknownFieldFirst = Buffer.concat([cronJob.subarray(0, 4), Buffer.from("7801", "hex"), cronJob.subarray(4)]);
  t.strictSame(readTypeMeta(unknownFieldFirst), { apiVersion: "batch/v2alpha1", kind: "CronJob" });
  t.end();
});

t.test("the API version and kind are read from a JSON value with fields in any order", (t) => {
  const expected = { apiVersion: "example.com/v1", kind: "Widget" };
  t.strictSame(read('{"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"a"}}\n'), expected);
  t.strictSame(read('{"metadata":{"kind":"Other"},"apiVersion":"example.com/v1","kind":"Widget"}'), expected);
  t.end();
});

t.test("no API version is read from a value that is damaged or in an unknown format", (t) => {
  for (let length = 0; length < 31; length += 1) {
    t.equal(readTypeMeta(cronJob.subarray(0, length)), undefined, `the first ${length} bytes have no readable type`);
  }
  const others = [
    "k8s:enc:aescbc:v1:key1:\u0000\u0001",
    "k8s\0",
    "k8s\0\u0012\u0001a",
    "k8s\0\n\u0000",
    "apiVersion: v1\nkind: Secret\n",
    "null",
    "[]",
    '{"apiVersion":"v1"}',
    '{"apiVersion":"v1","kind":7}',
    '{"apiVersion":"","kind":"Secret"}',
  ];
  for (const value of others) t.equal(read(value), undefined, JSON.stringify(value));
  t.end();
});
