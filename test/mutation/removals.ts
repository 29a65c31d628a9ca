/** A safeguard: what is left when it is taken away, and the test that fails then. */
export interface Removal {
  /** What it is, as `docs/tests-that-would-notice.md` says it. */
  readonly item: string
  /** Of the sources, from the root. */
  readonly file: string
  /** A line or a part of one, which stands there once. */
  readonly from: string
  readonly to: string
  /** The test file, from `test/`, without `.test.ts`. */
  readonly test: string
}

type Row = readonly [item: string, from: string, to: string]

/** Safeguards of one file that one test file notices. */
const of = (file: string, test: string, ...rows: readonly Row[]): Removal[] =>
  rows.map(([item, from, to]) => ({ item, file: `src/${file}`, from, to, test }))

const LOOP = 'roles/verifier/rounds/attestation-loop.ts'
const NEW_REGISTRATION = 'roles/registrar/api/register-agent.ts'
const PAYLOAD = 'roles/tenant/enrol/collect-payload.ts'
const PREPARE = 'roles/agent/machine/prepare-machine.ts'

export const REMOVALS: readonly Removal[] = [
  // What must be new each time
  ...of('roles/tenant/enrol/prove-identity.ts', 'integration/tenant/add', [
    'the tenant’s nonce',
    'randomAlphanumeric(NONCE_LENGTH)',
    "'A'.repeat(NONCE_LENGTH)",
  ]),
  ...of('roles/tenant/enrol/prove-key.ts', 'integration/tenant/add', [
    'the tenant’s challenge',
    'randomAlphanumeric(CHALLENGE_LENGTH)',
    "'A'.repeat(CHALLENGE_LENGTH)",
  ]),
  ...of(
    PAYLOAD,
    'integration/tenant/add',
    ['K of a payload', '[randomBytes(KEY_SIZE), randomBytes(KEY_SIZE)]', '[Buffer.alloc(KEY_SIZE, 1), randomBytes(KEY_SIZE)]'],
    ['V of a payload', '[randomBytes(KEY_SIZE), randomBytes(KEY_SIZE)]', '[randomBytes(KEY_SIZE), Buffer.alloc(KEY_SIZE, 1)]'],
    ['the IV of a payload', 'sealPayload(k, randomBytes(16), plaintext)', 'sealPayload(k, Buffer.alloc(16), plaintext)'],
  ),
  ...of('roles/verifier/rounds/attestation-round.ts', 'integration/verifier/attestation', [
    'the verifier’s nonce',
    'randomAlphanumeric(NONCE_CHARACTERS)',
    "'A'.repeat(NONCE_CHARACTERS)",
  ]),
  ...of(
    NEW_REGISTRATION,
    'unit/roles/registrar/api/challenge',
    ['the registrar’s secret', 'randomAlphanumeric(SECRET_CHARACTERS)', "'A'.repeat(SECRET_CHARACTERS)"],
    ['the seed of the registrar’s challenge', 'random: randomBytes', 'random: (count) => Buffer.alloc(count)'],
  ),
  ...of(
    'authority/key-store.ts',
    'integration/authority/open-authority',
    ['the IV of the key store', 'sealKeystore(content, password, randomBytes(16), ', 'sealKeystore(content, password, Buffer.alloc(16), '],
    ['the salt of the key store', "randomBytes(32).toString('base64')", "Buffer.alloc(32).toString('base64')"],
  ),

  ...of('authority/serials.ts', 'unit/authority/key-store', [
    'a serial that nobody can foresee',
    'randomBytes(8).readBigUInt64BE()',
    'Buffer.alloc(8).readBigUInt64BE()',
  ]),

  // V
  ...of('core/attestation/release.ts', 'unit/core/attestation/release', [
    'V is erased when it is confirmed',
    "{ v: null, vState: 'delivered' }",
    "{ vState: 'delivered' }",
  ]),
  ...of(
    LOOP,
    'unit/roles/verifier/rounds/attestation-loop',
    ['V waits until its release is in the audit log', 'await options.recorded(agent)', ''],
    ['our own trouble revokes nobody', 'error instanceof OwnTrouble || !running.isAgainst', 'false'],
  ),
  ...of('roles/verifier/rounds/running-round.ts', 'unit/roles/verifier/rounds/attestation-loop', [
    'the loop has V erased',
    '{ changes: CONFIRMED }',
    '{}',
  ]),

  ...of('io/db/fenced-store.ts', 'integration/io/db/lease-store', [
    'who lost a machine stores nothing of it',
    'await leases.check(transaction, agentId)\n      return work(',
    'return work(',
  ]),
  ...of('io/db/postgres-seam.ts', 'integration/io/db/postgres', [
    'a commit that nobody answered is looked up',
    'if (await wasCommitted(db, id)) return (done as { result: T }).result',
    '',
  ]),
  ...of(LOOP, 'unit/roles/verifier/rounds/attestation-loop', [
    'a database that is away does not fail a machine',
    "if (isPassing(error)) return isStale(running) ? undefined : postpone(agent, causeChain(error).join(': '))",
    '',
  ]),
  ...of(
    'roles/verifier/release/offer-v.ts',
    'integration/verifier/push/delivery-liars',
    ['V is not for who was asked before a command', '!agent.removed && agent.epoch === epoch', '!agent.removed'],
    ['V is not for another transport key', ' && offer?.fingerprint === fingerprint(transportKey)', ''],
  ),
  ...of('roles/verifier/release/offer-v.ts', 'integration/verifier/push/late-offers', [
    'V is not for who was good a while ago',
    ' && clock.monotonic() - offer.at < countsMs',
    '',
  ]),
  ...of('roles/verifier/push/api/release-v.ts', 'integration/verifier/push/late-offers', [
    'V is not for what passed by another policy',
    ' && policy === agent.policy',
    '',
  ]),
  ...of('roles/verifier/push/api/release-v.ts', 'integration/verifier/push/other-verifier', [
    'V that lies ready is not for a machine of another verifier',
    'isOurs ? push.offers : null',
    'push.offers',
  ]),
  ...of('roles/verifier/leases/lease-keeper.ts', 'integration/verifier/several', [
    'who takes a machine over tells it what it has not heard',
    'await notifier.adopt({ agent: agentId })',
    '',
  ]),
  ...of('core/identity/expected-tpm.ts', 'unit/roles/registrar/api/unknown-tpm', [
    'an id that is expected of one TPM is not for another expected one',
    'one.agentId === agentId',
    'one.agentId === null || one.agentId === agentId',
  ]),
  ...of('core/payload/key-shares.ts', 'unit/core/payload/key-shares', [
    'V of an older order opens nothing',
    'withNewest(state.us, event.user, effects)',
    '[...state.us, event.user]',
  ]),
  ...of('roles/verifier/verdicts/apply-verdict.ts', 'integration/verifier/push/delivery-liars', [
    'nobody confirms a V that was not released',
    "state.vState === 'releasing' && provesKey(report)",
    'provesKey(report)',
  ]),
  ...of('core/attestation/delivery.ts', 'integration/verifier/push/delivery-liars', [
    'V is confirmed by a proof of K',
    'proof !== null && HAS_KEY.has(state)',
    'HAS_KEY.has(state)',
  ]),

  // Epochs: what the operator says goes before what a round brings
  ...of(
    LOOP,
    'unit/roles/verifier/rounds/attestation-loop',
    [
      'an answer that a command overtook says nothing',
      'running.outcome = isStale(running) ? null : outcomeOf(result)',
      'running.outcome = outcomeOf(result)',
    ],
    ['a fault of a round that a command overtook says nothing', 'if (!isStale(running)) await settle(', 'await settle('],
    ['V does not leave after a command', 'if (isStale()) return // the operator', '// the operator'],
    ['what came of V is not put over a command', 'if (isStale() || event === null) return', 'if (event === null) return'],
  ),
  ...of(
    'roles/verifier/verdicts/state-keeper.ts',
    'unit/roles/verifier/verdicts/state-keeper',
    ['a change that a command overtook is not stored', 'isStale() || isStopped(agent, event) ?', 'isStopped(agent, event) ?'],
    ['a change that a command overtook leads to nothing', 'return isStale() ? [] : effects', 'return effects'],
  ),

  // Keys of TPMs
  ...of(
    'core/identity/judge-registration.ts',
    'unit/core/identity/judge-registration',
    ['another EK does not take an id over (sameEk)', 'if (!sameEk || !sameAk ||', 'if (!sameAk ||'],
    ['another AK does not take an id over', 'if (!sameEk || !sameAk ||', 'if (!sameEk ||'],
    ['attributes of the AK at the registrar', "refuse('aik_tpm is not an attestation key', akDefects(ak))", ''],
  ),
  ...of('core/enrolment/check-enrolment-parts.ts', 'integration/verifier/enrolment-parts', [
    'attributes of the AK at the verifier',
    'akDefects(ak)',
    '[] as string[]',
  ]),
  ...of('roles/tenant/enrol/judge-registered.ts', 'integration/tenant/judged-before-enrolment', [
    'attributes of the AK at the tenant',
    'akDefects(ak)',
    '[] as string[]',
  ]),
  ...of('core/judging/verify-submitted.ts', 'unit/core/judging/verify-submitted', [
    'attributes of the AK at verify/evidence',
    "refuse('tpm_ak is not an attestation key', akDefects(ak))",
    '',
  ]),

  // Time
  ...of('roles/registrar/api/activate-agent.ts', 'unit/roles/registrar/api/challenge', [
    'a challenge expires',
    '|| pending.expiresAt <= now',
    '',
  ]),
  ...of('io/db/pending-registrations.ts', 'unit/io/db/pending-registrations', [
    'challenges that have expired are dropped',
    'await this.#dropExpired(db, now)',
    '',
  ]),
  ...of('io/db/read-before.ts', 'unit/io/db/read-before', [
    'what was read before counts for the stored text alone',
    'kept?.text === text ? kept : null',
    'kept ?? null',
  ]),
  ...of('roles/verifier/start.ts', 'integration/verifier/watchdog', [
    'the watchdog is started',
    'const watchdog = startWatchdog({ agents, clock: systemClock, logger, quoteInterval: values.quote_interval })',
    'const watchdog = { stop() {} }',
  ]),
  ...of('roles/verifier/rounds/watchdog.ts', 'unit/roles/verifier/rounds/watchdog', [
    'the watchdog tells',
    'logger.error(`agent',
    'logger.debug(`agent',
  ]),
  ...of(
    'io/http/server.ts',
    'integration/http/time-outs',
    ['time of a handshake', 'handshakeTimeout: handshake, ', ''],
    ['time of headers', 'headersTimeout: headers', 'headersTimeout: 0'],
    ['time of a request', 'requestTimeout: request', 'requestTimeout: 0'],
    ['time of an idle connection', 'server.keepAliveTimeout = (options.keepAliveSeconds ?? 120) * 1000', 'server.keepAliveTimeout = 0'],
  ),
  ...of('io/http/kept-connection.ts', 'integration/http/clients', [
    'size of an agent’s answer',
    'maxBytes: asked.maxBytes, arrived',
    'maxBytes: Number.MAX_SAFE_INTEGER, arrived',
  ]),
  ...of('io/http/agent-client.ts', 'integration/http/clients', [
    'deadline of an agent’s answer',
    'if (request.deadline < now)',
    'if (now < 0)',
  ]),
  ...of(
    'io/http/pinned-connector.ts',
    'integration/http/resumed-sessions',
    [
      'the key of an agent is compared with the pin',
      '!showsKey(socket, pin)',
      '!showsKey(socket, keyOf(socket.getPeerX509Certificate()!))',
    ],
    ['only a session that was taken counts for the pin', 'offered !== null && socket.isSessionReused()', 'offered !== null'],
  ),
  ...of(
    'io/http/proven-session.ts',
    'unit/io/http/proven-session',
    ['a session is resumed with its own client certificate', 'kept.context === context && ', ''],
    ['a session ends', ' && now - kept.provenAt < MAX_AGE_MS', ''],
  ),
  ...of(
    'io/http/resuming-connector.ts',
    'integration/http/resuming-connector',
    ['an agent verifies its verifier again after an hour', 'isResumed ? offered.provenAt : performance.now()', 'performance.now()'],
    [
      'a connection that was cut is not made again at once',
      'saysNo(error) ? connect(asked, callback) : callback(error, null)',
      'connect(asked, callback)',
    ],
  ),
  ...of('roles/verifier/rounds/attestation-round.ts', 'integration/verifier/hostile-agents', [
    'size of the answer that the verifier asks for',
    'maxBytes: maxQuoteBytes',
    'maxBytes: Number.MAX_SAFE_INTEGER',
  ]),

  // Files and the machine
  ...of(
    'io/files/secure-mount.ts',
    'integration/io/files/secure-mount',
    ['device of the mount', 'if (entry.device !== device)', 'if (device === undefined)'],
    ['file system of the open directory', 'if (!isTmpfs(fd)) return', 'if (fd < 0) return'],
    ['noswap', ',noswap`', '`'],
  ),
  ...of(
    'io/files/atomic-file.ts',
    'unit/io/files/small-files',
    ['fsync of an atomic write', 'await handle.sync()\n    } finally', '} finally'],
    ['fsync of its directory', 'await syncDirectory(path.dirname(file))', ''],
  ),
  ...of(
    'io/db/open-database.ts',
    'unit/io/db/open-database',
    ['synchronous = FULL', 'synchronous = FULL', 'synchronous = NORMAL'],
    ['journal mode of a database', "sqlite.pragma('journal_mode = WAL')", ''],
    ['foreign keys of a database', 'foreign_keys = ON', 'foreign_keys = OFF'],
    ['a database that is locked is waited for', 'busy_timeout = 5000', 'busy_timeout = 0'],
    ['mode of a database', "if (file !== ':memory:') makeFile(file)", ''],
  ),
  ...of(
    PREPARE,
    'integration/agent/prepare-machine',
    ['umask of the agent', 'process.umask(0o077)', ''],
    ['the agent gives root up', 'dropPrivileges(account, logger)', ''],
    ['the agent’s files are handed over', 'handOver([', 'void (['],
  ),
  ...of(
    'roles/agent/machine/privileges.ts',
    'integration/agent/privileges',
    ['groups are given up', '.initgroups(user, gid)', ''],
    ['the group is given up', 'process.setgid!(gid)', ''],
    ['the user is given up', 'process.setuid!(uid)', ''],
    ['what root left to come back by is noticed', ' || canBecomeRoot())', ')'],
  ),

  // Payloads that an operator has signed
  ...of(
    'roles/agent/payload/accepted-order.ts',
    'unit/roles/agent/payload/accepted-order',
    ['an older order is refused', 'generation < newest.generation', 'newest.generation < 0'],
    ['another order of the same generation is refused', 'generation === newest.generation', 'newest.generation < 0'],
  ),
  ...of('roles/agent/payload/sealed-deliveries.ts', 'integration/agent/push/hostile-deliveries', [
    'the newest order is remembered',
    '      await acceptOrder(file, order)\n',
    '',
  ]),
  ...of('roles/agent/push/push-delivery.ts', 'integration/agent/push/hostile-deliveries', [
    'V that is not the other half of U is told',
    'sameTag(authTag(k, agentId), user.authTag)',
    'user.authTag',
  ]),
  ...of('roles/agent/payload/payload-receiver.ts', 'integration/agent/push/push-payload', [
    'a script is not run again when the delivery comes again',
    'if (record?.delivery === delivery) return this.#again(record)',
    '',
  ]),
  ...of(
    'roles/agent/api/take-sealed.ts',
    'integration/agent/sealed-payload',
    ['require_signed_payload', 'if (!requireSigned) return undefined', 'return undefined'],
    ['the auth tag of an order', 'sameTag(accepted.auth_tag, tag.toLowerCase())', 'accepted.auth_tag'],
  ),
  ...of('io/http/refuse-request.ts', 'integration/access/every-route', [
    'a verifier is not an operator',
    'ofOperators.has(route.access) && isVerifier(peer)',
    'ofOperators.has(route.access) && peer.kind === null',
  ]),

  // Time as a side channel: nothing that a test can see, so the sources are looked at
  ...of('core/payload/auth-tag.ts', 'architecture', [
    'tags are compared in constant time',
    'left.length === right.length && timingSafeEqual(left, right)',
    'left.equals(right)',
  ]),
  ...of('core/quote/verify-quote.ts', 'architecture', [
    'nonces and digests of a quote are compared in constant time',
    'a.length === b.length && timingSafeEqual(a, b)',
    'a.equals(b)',
  ]),

  // What lies at the verifier is an operator's, for one machine and one TPM
  ...of(
    'core/payload/delivery-order.ts',
    'unit/core/payload/delivery-order',
    ['an authority that gives no roles orders nothing', 'trust.authorities.filter(givesRoles)', 'trust.authorities.filter(() => true)'],
    ['the signature of an order', '!holds(certificate.publicKey, signed)', 'false'],
    ['an order of days ahead locks nothing out', 'order.generation - now > AHEAD_MS', 'false'],
    ['a verifier has nobody sign one', 'before !== null && before - now > DAY_MS', 'false'],
  ),
  ...of('core/payload/sealed-share.ts', 'unit/core/payload/sealed-share', [
    'a sealed share is for one machine and one delivery',
    ': SealingContext): Buffer => Buffer.from(',
    ": SealingContext): Buffer => Buffer.from('') || Buffer.from(",
  ]),
  ...of('roles/tenant/enrol/prepare-enrolment.ts', 'integration/tenant/sealed-delivery', [
    'a verifier that would lose a payload gets none',
    'operator && !takes?.delivery',
    'false',
  ]),
  ...of('roles/tenant/enrol/operator-key.ts', 'integration/tenant/sealed-delivery', [
    'only an operator orders anything',
    "roleOf(certificate) !== 'operator'",
    'false',
  ]),
  ...of(
    'roles/tenant/enrol/await-delivery.ts',
    'integration/tenant/sealed-delivery',
    ['the proof of a machine that comes by itself', '!this.#isProved', 'false'],
    ['what is said of another delivery', 'report?.enrolment === order.enrolment && report.generation === order.generation', 'report'],
  ),

  // What ends, ends; and who says so
  ...of('roles/agent/authorities/followed-authorities.ts', 'integration/agent/push/lying-authorities', [
    'an authority is dropped only where the verifier is there without it',
    'left.length === 0 || !(await holdsWithout(left, over))',
    'false',
  ]),
  ...of('roles/agent/identity/authority-follower.ts', 'integration/agent/push/lying-authorities', [
    'only an authority of operators names the next one',
    'believed = readTrust(settings, silentLogger, texts).operators?.trust().authorities ?? []',
    "believed = (await import('../../../core/pki/certificate.ts')).parseCertificates(readTrust(settings, silentLogger, texts).verifier.join(''))",
  ]),
  ...of('io/db/open-database.ts', 'unit/io/db/mailbox-store', ['what is erased is overwritten', "sqlite.pragma('secure_delete = ON')", '']),
  ...of('core/events/flood-guard.ts', 'unit/core/events/flood-guard', [
    'the audit log never shows a machine better than it is',
    '&& !told?.isGood',
    '',
  ]),
  // What an operator changes
  ...of('config/effective.ts', 'unit/config/show-config', [
    'a secret of the configuration is not shown',
    "text === undefined ? standard : option.secret ? '[secret]' : (option.shown?.(text) ?? text)",
    'text ?? standard',
  ]),
  ...of('config/edit-file.ts', 'unit/config/edit-file', [
    'a change of one option changes no other',
    'after.problems.length > 0 || others(before) !== others(after.entries)',
    'false',
  ]),
  ...of('tools/config/read-value.ts', 'integration/tools/config-command', [
    'a secret stands on no command line',
    'option.secret && given',
    'false',
  ]),
  ...of('tools/config/set.ts', 'integration/tools/config-command', [
    'a file that gets a secret is not for everyone',
    '(isSecret ? 0o770 : 0o777)',
    '0o777',
  ]),
  ...of('io/http/handshake-line.ts', 'integration/http/handshakes', [
    'connections that wait cannot fill memory',
    'if (socket.readableLength > MOST_BYTES) socket.destroy()',
    '',
  ]),
  ...of('io/files/file-lock.ts', 'integration/io/files/file-lock', ['root takes no link for a lock', ' | constants.O_NOFOLLOW', '']),
  ...of('tools/config/followed-link.ts', 'integration/tools/config-command', [
    'root follows no link of another user to what is not his',
    'link.uid === target.uid) return',
    'true) return',
  ]),
  ...of('tools/doctor/mask-secrets.ts', 'integration/tools/doctor-servers', [
    'a report for a bug has no secret in it',
    'secrets.reduce((masked, secret) => masked.replaceAll(secret, MASK), text)',
    'text',
  ]),
  ...of('tools/completion/bash-script.ts', 'integration/tools/completion', [
    'a shell does nothing that a name of the verifier says',
    'COMPREPLY+=("$(printf \'%q\' "$word")")',
    'COMPREPLY+=("$(eval "echo $word")")',
  ]),
  ...of(
    'io/db/deferred-notices.ts',
    'unit/io/db/deferred-notices',
    ['a fleet that fails together is told of one failure after the other', 'if (!isLater) return', 'return'],
    ['nobody is told of a machine that the operator took back', 'isTooOld || (await isTakenBack(transaction, row))', 'isTooOld'],
    [
      'a certificate that its machine has no more is told as revoked',
      "serialIn(enrolment, 'metaData') === serialIn(text, 'meta_data')",
      'true',
    ],
  ),
  ...of('roles/verifier/revocation/machine-queues.ts', 'unit/roles/verifier/revocation/revocation-notifier', [
    'of a machine that is off, a few notices are held',
    '.length >= MAX_WAITING',
    'false',
  ]),
  ...of('roles/verifier/revocation/revocation-notifier.ts', 'integration/verifier/several-notifiers', [
    'a machine can verify what another verifier stored',
    "if (agentIdOf(delivery.target) !== '') delivery.revocation = ownSigned(delivery.revocation)",
    '',
  ]),
  ...of('io/db/verifier-copy.ts', 'integration/verifier/backup', [
    'a backup has no V',
    "return isUnconfirmed ? { ...row, v: null, v_state: 'withheld' } : row",
    'return row',
  ]),
  ...of('io/db/restore-verifier.ts', 'integration/verifier/backup', [
    'a V that is in a backup anyway is withheld by the restore',
    'await verifierStore(transaction, 0).withholdAll()',
    '',
  ]),
  ...of('core/upstream/verifier-row.ts', 'integration/verifier/migrate-upstream', [
    'a static policy of upstream’s is read as upstream writes it',
    "const inner: unknown = value.startsWith('\"') ? JSON.parse(value) : value",
    'const inner: unknown = value',
  ]),
]
