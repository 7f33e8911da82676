#!/bin/sh
# Compiles the kernels for the compute tiles of XDNA2 (AIE2P), one object for each kernel and tile of the design's table.
#
#   kernels/npu/build.sh [FOLDER]      objects go to FOLDER, kernels/npu/build by default
#
# It needs what is published only as wheels on GitHub: llvm-aie ("Peano", its folder in PEANO_INSTALL_DIR) and mlir-aie (its
# folder in MLIR_AIE_INSTALL_DIR, for the aie_api headers). It says what of these is missing, and downloads nothing.
#
# What it does not make is the configuration of the array: the dataflow of src/design.rs in mlir-aie's language, which aiecc turns
# into an xclbin and instructions, is not written yet. Neither this script nor its objects have been tried on silicon.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
missing=0
need() {
    if [ ! -e "$1" ]; then
        echo "missing: $1: $2" >&2
        missing=1
    fi
}
peano=${PEANO_INSTALL_DIR:-/PEANO_INSTALL_DIR-is-not-set}
mlir_aie=${MLIR_AIE_INSTALL_DIR:-/MLIR_AIE_INSTALL_DIR-is-not-set}
need "$peano/bin/clang++" "install the llvm-aie wheel of https://github.com/Xilinx/llvm-aie/releases and set PEANO_INSTALL_DIR to its folder"
need "$mlir_aie/include/aie_api/aie.hpp" "install the mlir_aie wheel of https://github.com/Xilinx/mlir-aie/releases and set MLIR_AIE_INSTALL_DIR to its folder"
[ "$missing" = 0 ] || exit 1

mkdir -p "$out"
compile() { # source, object, definitions
    source=$1 object=$2
    shift 2
    "$peano/bin/clang++" --target=aie2p-none-unknown-elf -std=c++20 -O2 -DNDEBUG -D__AIEARCH__=21 \
        -I"$mlir_aie/include" "$@" -c "$here/aie/$source" -o "$out/$object"
    echo "$out/$object"
}
# The table of src/design.rs: width of the model, tile of a product.
for row in "384 96 32 48" "512 96 32 64" "768 96 32 48" "1024 96 32 64" "1280 96 32 64"; do
    set -- $row
    compile gemm.cc "gemm-$1.o" "-DTILE_M=$2" "-DTILE_K=$3" "-DTILE_N=$4"
    compile layer_norm.cc "layer_norm-$1.o" "-DWIDTH=$1"
done
compile attention.cc attention.o -DHEAD=64
