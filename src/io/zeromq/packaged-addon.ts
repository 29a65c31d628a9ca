import { loadAddon as loadPackaged } from '../native/load-addon.ts'

/** The bundle has this in the place of the loader that the zeromq package looks its prebuild up with: the executable brings that file itself. */
export const loadAddon = (): unknown => loadPackaged('zeromq.node')
