from dl_techniques.models.vae.vae import VAE as VAE
