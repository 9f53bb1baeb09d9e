// Original file: cri-v1.proto


export interface CheckpointContainerResponse {
}

export interface CheckpointContainerResponse__Output {
}
