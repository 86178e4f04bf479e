/**
 * Decodes base64 as Go's `base64.StdEncoding` does. Skips line breaks, rejects spaces, and requires padding. Returns
 * undefined for invalid or empty text.
 */
export function decodeBase64(text: string): Buffer | undefined {
  const compact = text.replaceAll(/[\r\n]/g, "");
  const sound = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(compact) && compact !== "";
  return sound ? Buffer.from(compact, "base64") : undefined;
}
