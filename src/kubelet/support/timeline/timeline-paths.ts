/** Where timelines are below a kubelet's root directory: a directory that only its owner may enter. */
import { join } from 'node:path';

export const timelineDirectory = (rootDir: string): string => join(rootDir, 'timeline');
export const timelineFile = (rootDir: string): string => join(timelineDirectory(rootDir), 'pods.jsonl');
export const timelineSocket = (rootDir: string): string => join(timelineDirectory(rootDir), 'kubelet.sock');
