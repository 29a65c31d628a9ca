/** A difference of a command's answer that we keep on purpose. Both patterns must match. */
export interface KeptAnswer {
  name: string
  call: RegExp
  /** One line of the comparison: the place, and what is there. */
  difference: RegExp
  reason: string
}

const ANY = /./

export const KEPT_ANSWERS: readonly KeptAnswer[] = [
  {
    name: 'V stays with the verifier',
    call: ANY,
    difference: /\.v: theirs .*, ours null$/,
    reason: 'Upstream prints the key share V in clear, on the terminal and into logs. No answer of our verifier has it.',
  },
  {
    name: 'more is said of an agent',
    call: ANY,
    difference: /\.(v_released|v_withheld|failures|runtime_policy_name|mb_policy_name|comes_by|accept_attestations|delivery): only ours$/,
    reason:
      'Besides all of upstream’s members: whether V was released or is withheld, every failure with its facts, the names of the policies, and whether the machine brings its evidence and may do so.',
  },
  {
    name: 'a measured boot policy that judges nothing is warned about',
    call: /-c (add|update)mbpolicy .*state\.json/,
    difference: /^(output\[0\]\.results\.warnings: only ours|outcome: theirs "", ours "mb_policy is empty: )/,
    reason: 'The state `{}` compares nothing. We accept it, as upstream does, and tell the operator.',
  },
  {
    name: 'the first quote comes sooner',
    call: /-c (add|update|reactivate|delete) /,
    difference: /\.(operational_state|hash_alg|enc_alg|sign_alg|attestation_status): theirs /,
    reason: 'The tenant asks for the state a moment after it added the agent. By then, we have often attested it.',
  },
  {
    name: 'fractions of a second',
    call: ANY,
    difference: /\.(attestation_period|maximum_attestation_interval): /,
    reason: 'Upstream cuts intervals to whole seconds, so 0.5 s reads as `0s`.',
  },
  {
    name: 'only policies that were given a name are listed',
    call: /-c list(runtime|mb)policy/,
    difference: /policy names: /,
    reason: 'Upstream stores a policy without a name, even the empty one, under the id of its agent.',
  },
  {
    name: 'a second add changes nothing',
    call: /-c add .*-u/,
    difference: /^(output: theirs \[\{"code":200|outcome: theirs "Verifier .* responded indicating a conflict)/,
    reason:
      'We ask the verifier before the agent, so no quote is taken and printed, and the agent keeps its key shares. Status and outcome are the same.',
  },
  {
    name: 'update does not delete first',
    call: /-c update /,
    difference: /^(output: theirs|outcome: theirs "Agent .* added to Verifier default)/,
    reason:
      'Upstream deletes the agent and adds it again, and prints its state before each. If its check of the EK fails between the two, the agent is no longer attested.',
  },
  {
    name: 'errors name the thing',
    call: ANY,
    difference: /^outcome: theirs "(\[Errno 2\] No such file|Expecting property name)/,
    reason:
      'They say which option, which file, and what is wrong with it, instead of the text of a Python exception. The exit status is the same.',
  },
  {
    name: 'comments of an exclude list are not patterns',
    call: /-e exclude\.txt/,
    difference: /excludes: theirs \["# a comment"/,
    reason: 'Upstream’s `keylime-policy` takes a line that begins with `#` for a pattern; its older tools do not.',
  },
  {
    name: 'blanks in names of files',
    call: /^keylime_(create_policy|convert_runtime_policy) /,
    difference: /\.digests\.\/usr\/bin\/b[ _]c: only/,
    reason:
      'IMA writes a blank in a name as an underscore, so an entry with a blank never matches. Upstream’s `keylime-policy` does as we do.',
  },
  {
    name: 'a path to skip is meant within the root',
    call: /--rootfs root -s /,
    difference: /\.digests\.\/skipped\/c: only theirs$/,
    reason: 'Upstream compares it with the path on this machine, so you must give it with the root in front.',
  },
  {
    name: 'a keyring says its version',
    call: /--add-ima-signature-verification-key/,
    difference: /\.verification-keys: theirs "\{\\"pubkeys\\"/,
    reason: 'The same keys and ids, and `meta.version`, which upstream reads too.',
  },
  {
    name: 'a lock in the directory of an authority',
    call: /^keylime_ca /,
    difference: /^wrote\.ca\/\.lock: only ours$/,
    reason: 'Two processes that issue at the same time do not give the same serial number twice.',
  },
  {
    name: 'what an authority has issued is kept',
    call: /^keylime_ca /,
    difference: /^wrote\.ca\/issued\/[\w.-]+: only ours$/,
    reason: 'Because we keep every certificate that a name has had, `revoke` ends all of them, not only the last.',
  },
  {
    name: '-h is short',
    call: / -h$/,
    difference: /^output: /,
    reason: 'The usage is the same. The options are described in `keylime tenant --help` and in the guide.',
  },
]
