"""Pictures, boxes and labels in: decoding, the table, formats, splits, composed scenes."""
