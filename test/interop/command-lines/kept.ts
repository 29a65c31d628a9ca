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
      'Whether V was released or is withheld, every failure with its facts, the names of the policies, whether the machine brings its evidence and may do so, beside all of upstream’s members.',
  },
  {
    name: 'a measured boot policy that judges nothing is warned about',
    call: /-c (add|update)mbpolicy .*state\.json/,
    difference: /^(output\[0\]\.results\.warnings: only ours|outcome: theirs "", ours "mb_policy is empty: )/,
    reason: 'The state `{}` compares nothing. It is taken, as upstream takes it, and the operator is told.',
  },
  {
    name: 'the first quote comes sooner',
    call: /-c (add|update|reactivate|delete) /,
    difference: /\.(operational_state|hash_alg|enc_alg|sign_alg|attestation_status): theirs /,
    reason: 'The state is asked for a moment after the agent was added. By then we have often attested it.',
  },
  {
    name: 'fractions of a second',
    call: ANY,
    difference: /\.(attestation_period|maximum_attestation_interval): /,
    reason: 'Upstream cuts intervals to whole seconds, so that 0.5 s reads as `0s`.',
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
      'The verifier is asked before the agent is, so that no quote is taken and printed, and the agent keeps the key shares that it has. Status and outcome are the same.',
  },
  {
    name: 'update does not delete first',
    call: /-c update /,
    difference: /^(output: theirs|outcome: theirs "Agent .* added to Verifier default)/,
    reason:
      'Upstream deletes the agent and adds it again, and prints its state before each. When its check of the EK fails between the two, the agent is attested no more.',
  },
  {
    name: 'errors name the thing',
    call: ANY,
    difference: /^outcome: theirs "(\[Errno 2\] No such file|Expecting property name)/,
    reason: 'Which option, which file, and what is wrong with it, in place of the text of a Python exception. The exit status is the same.',
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
      'IMA writes a blank in a name as an underscore, so that an entry with a blank never matches. Upstream’s `keylime-policy` does as we do.',
  },
  {
    name: 'a path to skip is meant within the root',
    call: /--rootfs root -s /,
    difference: /\.digests\.\/skipped\/c: only theirs$/,
    reason: 'Upstream compares it with the path on this machine, so that it must be given with the root in front.',
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
    reason: 'With every certificate that a name has had, `revoke` ends all of them, and not the last alone.',
  },
  {
    name: '-h is short',
    call: / -h$/,
    difference: /^output: /,
    reason: 'The usage is the same. The options are described in `keylime tenant --help` and in the guide.',
  },
]
