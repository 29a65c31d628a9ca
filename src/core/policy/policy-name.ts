import { KeylimeError } from '../errors.ts'

/** Names that an operator may give. */
const GIVEN = /^[\w.-]{1,255}$/
const OWN_PREFIX = 'agent:'

/** @throws KeylimeError `invalid_request` for a name that no operator may give. */
export function parsePolicyName(text: string): string {
  if (GIVEN.test(text)) return text
  throw new KeylimeError('invalid_request', 'a policy name has 1 to 255 letters, digits, "_", "." or "-"')
}

/** The name under which the policy of one agent alone is stored. It has a colon, which no given name can have: the two never meet. */
export const ownPolicyName = (agentId: string): string => OWN_PREFIX + agentId

export const isOwnPolicyName = (name: string): boolean => name.startsWith(OWN_PREFIX)

/** As people read it: `fleet`, or `its own`. */
export const policyNameText = (name: string): string => (isOwnPolicyName(name) ? 'its own' : name)
