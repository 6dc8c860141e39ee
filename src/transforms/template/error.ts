/** A template that cannot be compiled: what is wrong, and where in its text (UTF-16 offset). */
export class TemplateSyntaxError extends Error {
  override readonly name = "TemplateSyntaxError";
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** A template that failed while it ran. The text names no value, since values may be credentials (I14). */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
}
