// Kernels of VOLE: growing trees, the expand-convolute code, turning bit matrices. AssemblyScript;
// the TypeScript side is ../native-vole.ts, the plain twin protocols/common/portable-vole.ts.
// Pointers are 16-byte aligned, blocks have 16 bytes.
export { grow, growPunctured } from './vole/trees';
export { convolute, expandOne, expandTwo, separate } from './vole/code';
export { addImages, fillTables } from './vole/linear-map';
export { transpose } from './vole/transpose';
