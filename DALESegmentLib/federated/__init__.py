"""One model trained by several sites through NVFlare: weights travel, images, labels and confidence maps do not."""
