require 'sidekiq'

$stdout.sync = true

class Work
  include Sidekiq::Worker
  def perform(seconds)
    puts 'work: begun'
    sleep seconds
    puts 'work: done'
  end
end
