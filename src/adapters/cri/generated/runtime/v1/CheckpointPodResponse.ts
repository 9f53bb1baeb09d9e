// Original file: cri-v1.proto


export interface CheckpointPodResponse {
}

export interface CheckpointPodResponse__Output {
}
