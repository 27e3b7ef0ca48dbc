-- One row per authority and collection of its returns: the first and last return year landed with the part that says
-- whom the return carries. An open spell that none of the returns up to the last one carries has vanished.

with
landed_modules as (

    select * from {{ ref('int_landed_modules') }}

),

final as (

    select
        la_code,
        collection,
        min(return_year) as first_landed_year,
        max(return_year) as last_landed_year
    from landed_modules
    where
        la_code is not null
        and ((collection = 'cin' and module = 'census') or (collection = 'ssda903' and module = 'episodes'))
    group by la_code, collection

)

select * from final
