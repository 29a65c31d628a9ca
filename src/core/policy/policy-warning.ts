/** Something in a policy that is valid and probably not meant. */
export interface PolicyWarning {
  /** JSON path. */
  path: string
  message: string
  /** It lets in what the policy is there to keep out; the rest is only odd. */
  dangerous?: true
}
