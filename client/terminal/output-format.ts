/** The output format; wide is text with more columns. */
export type Form = "text" | "json" | "yaml" | "wide";
