/**
 * Replaces xml2js in the bundles. dbus-native needs it only to introspect services, which khw never does. The package
 * and its two dependencies would add 220 kB to the agent (docs/decisions/packaging.md).
 */
export function Parser(): never {
  throw new Error("this bundle does not contain xml2js, so D-Bus services cannot be introspected");
}
