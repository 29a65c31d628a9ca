import { KeylimeError } from '../errors.ts'

const FORM = /^[\w.-]{1,80}$/

export const isAgentId = (text: string): boolean => FORM.test(text) && text !== '.' && text !== '..'

/** An id that is safe in logs, paths and queries: upstream's grammar, at most 80 characters. @throws KeylimeError `invalid_request`. */
export function parseAgentId(text: string): string {
  if (!isAgentId(text))
    throw new KeylimeError('invalid_request', 'agent_id not not valid', { hint: 'ids have 1 to 80 letters, digits, "_", "." or "-"' })
  return text
}
