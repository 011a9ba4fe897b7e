"""One typed value per concept: parameters, compute, stage, reference, presets and claims."""
