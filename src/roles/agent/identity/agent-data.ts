import { z } from 'zod'
import { isKeylimeError } from '../../../core/errors.ts'
import type { HashName } from '../../../core/tpm/algorithms.ts'
import { sized } from '../../../core/tpm/byte-writer.ts'
import type { SigningName } from '../../../core/tpm/templates.ts'
import { writeFileAtomic } from '../../../io/files/atomic-file.ts'
import { readTextSync } from '../../../io/files/read-file.ts'
import type { Logger } from '../../../io/log/logger.ts'
import type { KeyBlob } from '../../../io/tpm/tpm.ts'

/** The attestation key that an agent keeps over restarts, in the form of upstream's `agent_data.json` (protocol 2.2). */
export interface AgentData {
  hash: HashName
  signing: SigningName
  ak: KeyBlob
  /** Hex SHA-256 of the EK's PEM text. */
  ekHash: string
}

const HASH_WORDS: Record<HashName, string> = { sha1: 'Sha1', sha256: 'Sha256', sha384: 'Sha384', sha512: 'Sha512' }
const SIGN_WORDS: Record<SigningName, string> = { rsassa: 'RsaSsa', rsapss: 'RsaPss', ecdsa: 'EcDsa' }

const bytes = z.array(z.number().int().min(0).max(255)).max(8192)
const shape = z.object({ ak_hash_alg: z.string(), ak_sign_alg: z.string(), ak_public: bytes, ak_private: bytes, ek_hash: bytes })

/** null when there is no file, or none that can be used: a new key is made then, and the log says why. */
export function readAgentData(file: string, logger: Logger): AgentData | null {
  let text: string
  try {
    text = readTextSync(file)
  } catch (error) {
    if (isKeylimeError(error) && error.code === 'not_found') return null
    throw error
  }
  try {
    const data = shape.parse(JSON.parse(text))
    const hash = wordOf(HASH_WORDS, data.ak_hash_alg)
    const signing = wordOf(SIGN_WORDS, data.ak_sign_alg)
    if (!hash || !signing) throw new Error('its algorithms are not supported')
    const ak = { public: sized(Buffer.from(data.ak_public)), private: sized(Buffer.from(data.ak_private)) }
    return { hash, signing, ak, ekHash: Buffer.from(data.ek_hash).toString('latin1') }
  } catch (error) {
    logger.warn('the saved attestation key cannot be used: a new one is made', { file, reason: (error as Error).message.slice(0, 200) })
    return null
  }
}

/** @throws KeylimeError `file_failed`. */
export function writeAgentData(file: string, data: AgentData): Promise<void> {
  const numbers = (buffer: Buffer) => [...buffer]
  const json = {
    ak_hash_alg: HASH_WORDS[data.hash],
    ak_sign_alg: SIGN_WORDS[data.signing],
    ak_public: numbers(data.ak.public.subarray(2)),
    ak_private: numbers(data.ak.private.subarray(2)),
    ek_hash: numbers(Buffer.from(data.ekHash, 'latin1')),
  }
  return writeFileAtomic(file, `${JSON.stringify(json)}\n`, 0o600)
}

function wordOf<T extends string>(words: Record<T, string>, word: string): T | undefined {
  return (Object.keys(words) as T[]).find((key) => words[key] === word)
}
