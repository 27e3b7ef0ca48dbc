-- One row per collection, module, authority and return year that is landed and not replaced; authority is null for the
-- national school tables. A module is a part of a return that can come in a file of its own: an SSDA903 return without
-- its episodes cannot say who was looked after.

with
returns as (

    select * from {{ ref('stg_manifest__returns') }}

),

modules_of_returns as (

    select
        collection,
        la_code,
        return_year,
        superseded_modules,
        {{ list_items('modules') }} as module
    from returns
    where not is_superseded

),

final as (

    select
        collection,
        la_code,
        return_year,
        module
    from modules_of_returns
    where ',' || coalesce(superseded_modules, '') || ',' not like '%,' || module || ',%'
    group by collection, la_code, return_year, module

)

select * from final
