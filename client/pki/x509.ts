export { loadX509 } from "../../proto/x509.ts";
