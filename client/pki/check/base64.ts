/** Undefined for what is not base64. */
export function decodeBase64(text: string): Buffer | undefined {
  const compact = text.replaceAll(/\s/g, "");
  const sound = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(compact) && compact !== "";
  return sound ? Buffer.from(compact, "base64") : undefined;
}
