/**
 * JSON as Python's `json.dumps` writes it: `", "` and `": "` between, everything outside ASCII escaped. Signatures are over these bytes, and scripts parse
 * what upstream's tools print. Members without a value are left out.
 */
export function pythonJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined)
    return `{${members.map(([key, member]) => `${quoted(key)}: ${pythonJson(member)}`).join(', ')}}`
  }
  return typeof value === 'string' ? quoted(value) : (JSON.stringify(value) ?? 'null')
}

const quoted = (text: string) =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
