// The faults that most files can meet; those of large files are in test/soak.
import { faultTests } from './fault-cells.ts';

faultTests(['ListObjectsV2', 'PutObject', 'CompleteMultipartUpload']);
