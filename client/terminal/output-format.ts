/** The output format; wide is text with more columns. */
export type OutputFormat = "text" | "json" | "yaml" | "wide";
