/** What results are told in; wide is text with all there is to tell. */
export type Form = "text" | "json" | "yaml" | "wide";
