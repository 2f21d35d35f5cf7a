// Every fault at every request of large files.
import { faultTests } from '../system/fault-cells.ts';

faultTests(['HeadObject', 'CreateMultipartUpload', 'UploadPart', 'ListParts', 'AbortMultipartUpload']);
