import { storageContract } from '../../../test/contracts/storage-contract.ts';
import { MemoryStorage } from './memory-storage.ts';

storageContract('the memory store', () => Promise.resolve(new MemoryStorage()));
