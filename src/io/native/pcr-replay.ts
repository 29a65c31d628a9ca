import type { MakePcrReplay } from '../../core/ima/pcr-replay.ts'
import { nativeAddon } from './native-addon.ts'

/** The replay of a PCR by the native addon: the hashes of an entry in one call. */
export const nativePcrReplay: MakePcrReplay = ({ logHash, bank, start, quoted }) =>
  new (nativeAddon().PcrReplay)(logHash, bank, start, quoted)
