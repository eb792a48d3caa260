output "names" {
  description = "Key => name of the bucket."
  value       = { for key, bucket in google_storage_bucket.this : key => bucket.name }
}

output "urls" {
  description = "Key => gs:// address of the bucket."
  value       = { for key, bucket in google_storage_bucket.this : key => "gs://${bucket.name}" }
}
