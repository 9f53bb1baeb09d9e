import { importArchive } from '../load-image.ts';
import { made, onEveryNode } from './create-context.ts';
import type { Action } from './create-context.ts';

export const importImages: Action = {
  name: 'import',
  title: 'import images',
  needs: ['containerd', 'images'],
  run: (context, signal) =>
    onEveryNode(context, (node) => importArchive(node, context.paths, made(context, 'imageArchive'), signal)),
};
